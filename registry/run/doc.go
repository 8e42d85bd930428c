// Package run holds the nouns of rule transformations: steps, which say what a
// worker is given, and runs, which are one carrying out of a step, with the pure
// rules of what may follow what. It knows neither stores nor workers.
package run
