// Package rule holds the nouns of Graph Access Rules: the graph model, which
// joins the ids that rules speak in with the labels, property names and
// relationship types of the graph, and the rules themselves. It knows neither
// stores nor requests.
package rule
