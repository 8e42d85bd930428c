// Package transform carries out the runs of rule transformations: it claims runs
// that wait, gathers what their step asks for, gives it to the step's worker with
// a token of the step's own client, and stores how that ended. Any number of
// gateways may do so over one store; of the runs of a step one is under way at a
// time, and a run whose gateway died is taken up by another.
package transform
