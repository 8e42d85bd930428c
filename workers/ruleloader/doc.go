// Package ruleloader is the reference worker of type RuleTransformation: it reads
// who may see what from CSV files, Parquet files and PostgreSQL, as a mapping file
// says, and posts Graph Access Rules that say the same. It shows how a worker of
// one's own may look, and serves those whose permissions fit into such tables.
//
// Each row of a source grants something: its subjects (users, groups, clients) may
// see an entity, some of its properties and relationships, perhaps under a
// condition. Rows with the same subjects, entity and condition become one rule,
// which shows what any of them shows. A rule's name is made of its subjects, entity
// and condition, so two runs over the same source leave the same rules; the rules
// of a run replace those of the one before as a whole, so a permission that is gone
// at the source is gone after the next run. A run that fails leaves everything as
// it was.
//
// # What is never done
//
// A rule without a subject or without an entity is never posted, a condition is
// never left out, and a title is never guessed: a row that lacks one of them is a
// bad row, on which the run fails unless the mapping says that bad rows are
// skipped and counted. Rows about users, groups, clients, entities, properties or
// relationships that the step sent lists of, and that are not in them, are skipped
// and counted.
//
// # Memory
//
// Rows are grouped by sorting: what does not fit into the mapping's memory (64 MiB)
// is sorted in pieces on disk and merged. The number of rows has no bound but the
// disk's.
//
// The mapping file is described in docs/reference/rule-mapping.md.
package ruleloader
