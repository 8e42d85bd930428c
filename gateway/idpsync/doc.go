// Package idpsync keeps what the identity provider says of people in the
// register, off every request's path: who was seen with a token, and the groups
// that the token named. The stored groups serve lists and personal access tokens
// alone; a login is judged by its own token (access specification, section 1).
// Owners of personal access tokens who have not logged in for a while are asked
// after at the provider, so that who left does not keep what they had.
package idpsync
