// Package connectors is the module of the extractors: what turns a source into
// an extract.duckdb with Parquet beside it. Its packages come with the
// connectors' own milestone; until then the module only holds its place in the
// workspace and in the import law.
package connectors
