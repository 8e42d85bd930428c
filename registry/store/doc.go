// Package store is what the registry's stores have in common: the SQL that
// DuckDB and PostgreSQL both understand, over database/sql, and the migrations'
// bookkeeping. The engines' own words live in the packages duckdb and postgres.
package store
