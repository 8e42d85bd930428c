//go:build race

package fanout_test

const underRace = true
