module github.com/muster-fleet/muster/connectors

go 1.26.8

replace github.com/muster-fleet/muster/proto => ../proto
