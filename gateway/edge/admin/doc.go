// Package admin is the API of access: groups, members, grants, users, personal
// access tokens, and who may what (access specification, sections 3 and 4). Below
// /api/admin everything needs an admin; /api/me and /api/tokens are for everybody,
// about themselves.
//
// What a call changes is decided by the registry's functions, in one transaction
// with its audit row; what a call reads comes from one snapshot, so that a page
// does not contradict itself. The resource types and what a caller may do come
// from package authz.
package admin
