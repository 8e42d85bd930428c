package fleet

import (
	"net/http"

	"github.com/muster-fleet/muster/registry"
)

// warningHeader carries Changed.Warning, and is all there is of it in an answer
// without a body.
const warningHeader = "Muster-Warning"

func (s *service) postWorker(w http.ResponseWriter, r *http.Request, actor registry.Actor) error {
	var p parameters
	given := p.parse(r.URL.RawQuery)
	p.only(given, "dryRun")
	dryRun := p.flag(given, "dryRun")
	if err := p.err(); err != nil {
		return err
	}
	body, err := s.readBody(w, r, mediaJSON)
	if err != nil {
		return err
	}
	in, err := readRegistration(body)
	if err != nil {
		return err
	}
	record, created, err := s.register(r.Context(), actor, in, dryRun != nil && *dryRun)
	if err != nil {
		return err
	}
	if !created {
		return writeRecord(w, http.StatusOK, record.Revision, record)
	}
	w.Header().Set("Location", Root+"/"+record.UUID)
	return writeRecord(w, http.StatusCreated, record.Revision, record)
}

func (s *service) listWorkers(w http.ResponseWriter, r *http.Request, _ registry.Actor) error {
	q, err := readQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	items, next := s.list(q)
	return writeJSON(w, http.StatusOK, mediaJSON, Page{Items: items, NextCursor: next})
}

func (s *service) getWorker(w http.ResponseWriter, r *http.Request, _ registry.Actor) error {
	if err := noQuery(r); err != nil {
		return err
	}
	record, err := s.get(r.PathValue("uuid"))
	if err != nil {
		return err
	}
	return writeRecord(w, http.StatusOK, record.Revision, record)
}

func (s *service) patchWorker(w http.ResponseWriter, r *http.Request, actor registry.Actor) error {
	if err := noQuery(r); err != nil {
		return err
	}
	body, err := s.readBody(w, r, mediaJSON, "application/merge-patch+json")
	if err != nil {
		return err
	}
	patch, err := readChange(body)
	if err != nil {
		return err
	}
	changed, err := s.update(r.Context(), actor, r.PathValue("uuid"), patch, ifMatch(r))
	if err != nil {
		return err
	}
	if changed.Warning != "" {
		w.Header().Set(warningHeader, changed.Warning)
	}
	return writeRecord(w, http.StatusOK, changed.Revision, changed)
}

func (s *service) deleteWorker(w http.ResponseWriter, r *http.Request, actor registry.Actor) error {
	if err := noQuery(r); err != nil {
		return err
	}
	warning, err := s.deregister(r.Context(), actor, r.PathValue("uuid"))
	if err != nil {
		return err
	}
	if warning != "" {
		w.Header().Set(warningHeader, warning)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *service) probeWorker(w http.ResponseWriter, r *http.Request, actor registry.Actor) error {
	if err := noQuery(r); err != nil {
		return err
	}
	standing, err := s.probe(r.Context(), actor, r.PathValue("uuid"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, mediaJSON, standing)
}

func (s *service) putConformance(w http.ResponseWriter, r *http.Request, actor registry.Actor) error {
	if err := noQuery(r); err != nil {
		return err
	}
	body, err := s.readBody(w, r, mediaJSON)
	if err != nil {
		return err
	}
	c, err := readConformance(body)
	if err != nil {
		return err
	}
	record, err := s.conform(r.Context(), actor, r.PathValue("uuid"), c)
	if err != nil {
		return err
	}
	return writeRecord(w, http.StatusOK, record.Revision, record)
}
