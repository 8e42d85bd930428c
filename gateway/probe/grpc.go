package probe

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
)

// Protocol is the revision of muster.worker.v1 that the gateway speaks.
const Protocol = 1

// describe asks a gRPC worker: Describe, over a connection of its own.
func (i *Inspector) describe(ctx context.Context, scheme, host string) (registry.Info, error) {
	creds := insecure.NewCredentials()
	if scheme == "grpcs" {
		creds = credentials.NewTLS(i.cfg.TLS())
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "443")
		}
	}
	var dialled lastError
	conn, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := i.cfg.Dialer.DialGRPC(ctx, addr)
			dialled.set(err)
			return c, err
		}),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithUserAgent("muster"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(int(i.cfg.MaxBody))),
	)
	if err != nil {
		return registry.Info{}, refusal(codeBadURL, "the url has a host that cannot be called: %s", Printable(err.Error(), maxObserved))
	}
	// Closing a connection that is of no more use has nothing to report.
	defer func() { _ = conn.Close() }()
	resp, err := workerv1.NewGraphSecurityClient(conn).Describe(ctx, &workerv1.DescribeRequest{})
	if status.Code(err) == codes.Unimplemented {
		// A rule transformation need not serve what filters graphs.
		resp, err = workerv1.NewRuleTransformationClient(conn).Describe(ctx, &workerv1.DescribeRequest{})
	}
	if err != nil {
		return registry.Info{}, i.describeFailed(ctx, err, dialled.get())
	}
	return readDescription(resp)
}

// describeFailed tells a worker that cannot be reached from one that answers
// wrongly; dialled is why the last connection attempt failed, if it did.
func (i *Inspector) describeFailed(ctx context.Context, err, dialled error) error {
	st := status.Convert(err)
	text := Printable(st.Message(), maxObserved)
	switch code := st.Code(); {
	case dialled != nil:
		return failed(ctx, i.cfg.Timeout, dialled)
	case ctx.Err() != nil || code == codes.DeadlineExceeded:
		// The deadline travels with the call, so the worker may notice it first.
		return refusal(codeTimeout, "the worker did not answer in full within %s", i.cfg.Timeout)
	case code == codes.Unimplemented:
		return refusal(codeIncompatible, "the server offers neither muster.worker.v1.GraphSecurity/Describe nor muster.worker.v1.RuleTransformation/Describe: %s", text)
	case code == codes.ResourceExhausted:
		return refusal(codeTooLarge, "Describe answers more than %d bytes, or is overloaded: %s", i.cfg.MaxBody, text)
	case code == codes.Unavailable:
		return refusal(codeUnreachable, "the worker cannot be reached: %s", text)
	default:
		return refusal(codeBadStatus, "Describe answers status %s; only OK is good: %s", code, text)
	}
}

// readDescription judges the answer of Describe as ReadInfo does GET /'s.
func readDescription(resp *workerv1.DescribeResponse) (registry.Info, error) {
	info := registry.Info{
		Class: resp.GetClass(), Type: resp.GetType(),
		ID: registry.WorkerID(resp.GetUuid()), Version: resp.GetVersion(),
	}
	var found []error
	if proto.Size(resp) == 0 {
		found = append(found, refusal(codeEmptyAnswer, "Describe answers an empty message"))
	} else {
		members := map[string]string{"class": info.Class, "type": info.Type, "uuid": string(info.ID), "version": info.Version}
		found = append(found, missing(func(name string) string {
			if members[name] == "" {
				return "empty"
			}
			return ""
		}))
	}
	if got := resp.GetCapabilities().GetProtocol(); resp.GetCapabilities() == nil {
		found = append(found, refusal(codeIncompatible, "Describe answers no capabilities; the gateway speaks protocol %d", Protocol))
	} else if got != Protocol {
		found = append(found, refusal(codeIncompatible, "Describe answers protocol %d; the gateway speaks %d", got, Protocol))
	}
	return info, together(found)
}

// together makes one refusal of several, in the order of the specification's list.
func together(found []error) error {
	var all []fault.Violation
	for _, err := range found {
		var e *fault.Error
		if errors.As(err, &e) {
			all = append(all, e.Violations...)
		}
	}
	return registry.Refused(all)
}
