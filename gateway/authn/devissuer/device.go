package devissuer

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
)

// devicePageTemplate is the page that a person opens to approve a device login.
var devicePageTemplate = template.Must(template.New("device").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Muster development login</title></head>
<body><h1>Development login</h1><p>{{.Message}}</p>
{{if .Form}}<form method="post">
<p><label>Code <input name="user_code" value="{{.Code}}" required></label></p>
<p><label>Name <input name="username" required></label></p>
<p><label>Password <input name="password" type="password" required></label></p>
<p><button name="decision" value="approve">Approve</button> <button name="decision" value="deny">Deny</button></p>
</form>{{end}}</body></html>
`))

type deviceView struct {
	Message, Code string
	Form          bool
}

// startDevice begins a device login (RFC 8628 section 3.1).
func (i *Issuer) startDevice(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		i.writeRefusal(w, refuse(http.StatusBadRequest, "invalid_request", "the form cannot be read"))
		return
	}
	c, refused := authenticateClient(r)
	if refused != nil {
		i.writeRefusal(w, refused)
		return
	}
	if !slices.Contains(c.grants, grantDevice) {
		i.writeRefusal(w, refuse(http.StatusBadRequest, "unauthorized_client", "Client is not allowed to initiate OAuth 2.0 Device Authorization Grant. The flow is disabled for the client."))
		return
	}
	deviceCode, userCode := i.logins.startDevice(c.id)
	if a, ok := person(i.config.ApproveDevicesAs); ok {
		i.logins.settle(userCode, a, true)
	}
	page := i.base + realmPath + "/device"
	i.writeJSON(w, http.StatusOK, map[string]any{
		"device_code": deviceCode, "user_code": userCode,
		"verification_uri": page, "verification_uri_complete": page + "?user_code=" + userCode,
		"expires_in": int(deviceLifetime.Seconds()), "interval": max(int(i.config.DevicePoll.Seconds()), 1),
	})
}

func (i *Issuer) devicePage(w http.ResponseWriter, r *http.Request) {
	i.page(w, http.StatusOK, deviceView{
		Message: "Approve the login of a device. Names: " + strings.Join(names(), ", ") + "; the password is the name.",
		Code:    r.URL.Query().Get("user_code"), Form: true,
	})
}

func (i *Issuer) approveDevice(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		i.page(w, http.StatusBadRequest, deviceView{Message: "The form cannot be read.", Form: true})
		return
	}
	code := strings.ToUpper(strings.TrimSpace(r.PostForm.Get("user_code")))
	a, ok := login(r.PostForm.Get("username"), r.PostForm.Get("password"))
	if !ok {
		i.page(w, http.StatusUnauthorized, deviceView{Message: "Wrong name or password; the password is the name.", Code: code, Form: true})
		return
	}
	approved := r.PostForm.Get("decision") != "deny"
	if !i.logins.settle(code, a, approved) {
		i.page(w, http.StatusNotFound, deviceView{Message: "There is no login with this code that waits; start it again.", Form: true})
		return
	}
	message := "The device is logged in as " + a.name + "; this page can be closed."
	if !approved {
		message = "The login was denied; this page can be closed."
	}
	i.page(w, http.StatusOK, deviceView{Message: message})
}

func (i *Issuer) page(w http.ResponseWriter, status int, v deviceView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := devicePageTemplate.Execute(w, v); err != nil {
		i.config.Logger.Debug("the development issuer's page was not taken", "error", err)
	}
}
