// Package rest is the frame of Muster's own REST APIs: who is calling is asked
// first, bodies and query parameters are read strictly with all mistakes at once,
// errors are RFC 9457 problems, lists come in pages, and the OpenAPI description
// is made from the same table that answers calls. What the calls do is in the
// packages beside it.
package rest
