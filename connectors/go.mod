module github.com/muster-fleet/muster/connectors

go 1.26.8

require github.com/muster-fleet/muster/proto v0.0.0

replace github.com/muster-fleet/muster/proto => ../proto
