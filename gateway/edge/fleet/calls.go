package fleet

import (
	"net/http"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

// warningHeader carries Changed.Warning, and is all there is of it in an answer
// without a body.
const warningHeader = "Muster-Warning"

func (s *service) postWorker(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	p := rest.ReadQuery(r, "dryRun")
	dryRun := p.Flag("dryRun")
	if err := p.Err(); err != nil {
		return err
	}
	body, err := s.api.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	in, err := readRegistration(body)
	if err != nil {
		return err
	}
	record, created, err := s.register(r.Context(), &who, in, dryRun != nil && *dryRun)
	if err != nil {
		return err
	}
	if !created {
		return rest.WriteRecord(w, http.StatusOK, record.Revision, record)
	}
	w.Header().Set("Location", Root+"/"+record.UUID)
	return rest.WriteRecord(w, http.StatusCreated, record.Revision, record)
}

func (s *service) listWorkers(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	items, next := s.list(q, &who)
	return rest.WriteJSON(w, http.StatusOK, Page{Items: items, NextCursor: next})
}

func (s *service) getWorker(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	record, err := s.get(r.PathValue("uuid"))
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, record.Revision, record)
}

func (s *service) patchWorker(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	body, err := s.api.ReadBody(w, r, rest.MaxBody, rest.MediaJSON, rest.MediaMergePatch)
	if err != nil {
		return err
	}
	patch, err := readChange(body)
	if err != nil {
		return err
	}
	changed, err := s.update(r.Context(), who.Actor, r.PathValue("uuid"), patch, rest.IfMatch(r))
	if err != nil {
		return err
	}
	if changed.Warning != "" {
		w.Header().Set(warningHeader, changed.Warning)
	}
	return rest.WriteRecord(w, http.StatusOK, changed.Revision, changed)
}

func (s *service) deleteWorker(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	warning, err := s.deregister(r.Context(), who.Actor, r.PathValue("uuid"))
	if err != nil {
		return err
	}
	if warning != "" {
		w.Header().Set(warningHeader, warning)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *service) probeWorker(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	standing, err := s.probe(r.Context(), who.Actor, r.PathValue("uuid"))
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusOK, standing)
}

func (s *service) putConformance(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	body, err := s.api.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	c, err := readConformance(body)
	if err != nil {
		return err
	}
	record, err := s.conform(r.Context(), who.Actor, r.PathValue("uuid"), c)
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, record.Revision, record)
}
