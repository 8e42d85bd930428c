// Package e2e holds no code that runs: its tests build the programs and use them
// as people and scripts do, over processes, sockets and files. The scenarios are
// text files below testdata/scripts; adding a case is adding a file. The commands
// that they have beside testscript's own are in harness_test.go.
package e2e
