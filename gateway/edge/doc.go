// Package edge is where requests come in and answers go out: the HTTP and gRPC
// servers, the filter endpoint, admission, draining, and the operations
// listener. It turns bytes into values for the pipeline and the pipeline's
// values into bytes, and it is the one place where errors become statuses.
package edge
