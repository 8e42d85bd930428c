//go:build race

package verdict

const underRace = true
