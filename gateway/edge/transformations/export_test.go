package transformations

// ReadStep is readStep, for the fuzzer.
var ReadStep = readStep
