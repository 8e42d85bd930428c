package postgres

import (
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store"
)

// unavailable are the classes (two characters) and codes of SQLSTATE that speak
// of the server rather than of the statement, with what to do.
var unavailable = map[string]string{
	"08":    "lost the connection",
	"28":    "refuses the login; look at user and password",
	"3D":    "does not exist; create the database",
	"53":    "is out of resources; look at its connections, memory and disk",
	"57":    "is shutting down, starting, or has cancelled the statement",
	"58":    "has a system error; look at its log",
	"XX":    "has an internal error; look at its log",
	"25006": "is read-only; connect to the primary",
	"25P03": "gave the transaction up because it was idle for too long",
	"25P04": "gave the transaction up because it took too long",
	"40001": "gave the transaction up in favour of another; try again",
	"40P01": "gave the transaction up in favour of another; try again",
	"42501": "denies the permission; the user must own the schema",
	"55P03": "is busy with other changes",
}

// explain turns an error of the driver into ours.
func explain(name string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return store.Unavailable(name, "cannot be reached").After(time.Second).Wrap(err)
	}
	switch pg.ConstraintName {
	case "workers_uuid":
		return registry.ErrUUIDTaken
	case "table_registry_pkey", "table_registry_name":
		return registry.ErrTableTaken
	case "workers_url":
		return registry.ErrURLTaken
	}
	why, known := unavailable[pg.Code]
	if !known && len(pg.Code) > 2 {
		why, known = unavailable[pg.Code[:2]]
	}
	if known {
		return store.Unavailable(name, why).After(time.Second).Wrap(err)
	}
	if strings.HasPrefix(pg.Code, "42P01") || strings.HasPrefix(pg.Code, "42703") {
		return fault.New(fault.Unavailable, "store_schema",
			"the schema of the store %s lacks a table or column; it was changed while this program ran", name).Wrap(err)
	}
	return fault.New(fault.Internal, "internal", "an internal error of the store; the log has it").Wrap(err)
}
