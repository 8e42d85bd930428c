// Package law holds no code that runs: its tests keep the laws of the source
// tree, over all modules of the workspace. They are the import law of
// ARCHITECTURE.md section 3, the banned package names, no init functions, the
// size of files, functions and interfaces, and words that have no place in a
// tree that others read. golangci-lint keeps part of the same by depguard; the
// tests here need no tool and see the workspace as a whole.
package law
