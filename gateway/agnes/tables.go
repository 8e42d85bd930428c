package agnes

import (
	"context"
	"database/sql"
	"time"
)

// text is a column that may be null.
type text struct{ of *string }

// Scan implements sql.Scanner.
func (t text) Scan(value any) error {
	var s sql.NullString
	if err := s.Scan(value); err != nil {
		return err
	}
	if *t.of = s.String; len(s.String) > MaxText {
		// Nothing longer is ever kept; the byte too many says that it was longer.
		*t.of = s.String[:MaxText+1]
	}
	return nil
}

// moment is a time that may be null; the file keeps it without a zone, in UTC.
type moment struct{ of *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(value any) error {
	var t sql.NullTime
	if err := t.Scan(value); err != nil {
		return err
	}
	if t.Valid {
		*m.of = t.Time.UTC()
	}
	return nil
}

func (f *file) users(ctx context.Context, a *Archive) error {
	const query = `SELECT CAST(id AS VARCHAR), CAST(email AS VARCHAR), CAST(name AS VARCHAR), CAST(active AS BOOLEAN),
CAST(deactivated_at AS TIMESTAMP), CAST(deactivated_by AS VARCHAR), CAST(created_at AS TIMESTAMP),
password_hash IS NOT NULL FROM main.users ORDER BY 7, 1`
	return f.rows(ctx, "users", query, func(row *sql.Rows) error {
		var u User
		var active sql.NullBool
		var password bool
		err := row.Scan(text{&u.ID}, text{&u.Email}, text{&u.Name}, &active,
			moment{&u.DeactivatedAt}, text{&u.DeactivatedBy}, moment{&u.CreatedAt}, &password)
		u.Active = active.Bool // who may be shut out is
		if password {
			a.Passwords++
		}
		a.Users = append(a.Users, u)
		return err
	})
}

func (f *file) groups(ctx context.Context, a *Archive) error {
	const query = `SELECT CAST(id AS VARCHAR), CAST(name AS VARCHAR), CAST(description AS VARCHAR), CAST(is_system AS BOOLEAN),
CAST(created_at AS TIMESTAMP), CAST(created_by AS VARCHAR) FROM main.user_groups ORDER BY 5, 1`
	return f.rows(ctx, "user_groups", query, func(row *sql.Rows) error {
		var g Group
		var system sql.NullBool
		err := row.Scan(text{&g.ID}, text{&g.Name}, text{&g.Description}, &system, moment{&g.CreatedAt}, text{&g.CreatedBy})
		g.System = system.Bool
		a.Groups = append(a.Groups, g)
		return err
	})
}

func (f *file) members(ctx context.Context, a *Archive) error {
	const query = `SELECT CAST(user_id AS VARCHAR), CAST(group_id AS VARCHAR), CAST(source AS VARCHAR),
CAST(added_at AS TIMESTAMP), CAST(added_by AS VARCHAR) FROM main.user_group_members ORDER BY 4, 1, 2`
	return f.rows(ctx, "user_group_members", query, func(row *sql.Rows) error {
		var m Member
		err := row.Scan(text{&m.UserID}, text{&m.GroupID}, text{&m.Source}, moment{&m.AddedAt}, text{&m.AddedBy})
		a.Members = append(a.Members, m)
		return err
	})
}

func (f *file) grants(ctx context.Context, a *Archive) error {
	const query = `SELECT CAST(id AS VARCHAR), CAST(group_id AS VARCHAR), CAST(resource_type AS VARCHAR),
CAST(resource_id AS VARCHAR), CAST(assigned_at AS TIMESTAMP), CAST(assigned_by AS VARCHAR) FROM main.resource_grants ORDER BY 5, 1`
	return f.rows(ctx, "resource_grants", query, func(row *sql.Rows) error {
		var g Grant
		err := row.Scan(text{&g.ID}, text{&g.GroupID}, text{&g.Type}, text{&g.Resource}, moment{&g.AssignedAt}, text{&g.AssignedBy})
		a.Grants = append(a.Grants, g)
		return err
	})
}

// count counts the rows of tables that are not read.
func (f *file) count(ctx context.Context, a *Archive) error {
	for _, name := range others {
		have, err := f.columns(ctx, name)
		if err != nil {
			return err
		}
		if len(have) == 0 {
			continue
		}
		err = f.rows(ctx, name, "SELECT count(*) FROM main."+name, func(row *sql.Rows) error {
			var n int64
			err := row.Scan(&n)
			a.Others[name] = n
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
