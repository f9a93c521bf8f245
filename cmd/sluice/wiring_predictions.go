package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	predictionsrest "sluice/gateway/predictions/rest"
	"sluice/gateway/redact"
	"sluice/gateway/route"
	"sluice/tracking/wire"
)

// predictionRoutes are the rows that query the prediction log.
func (a *App) predictionRoutes() []wire.Route {
	h := predictionsrest.New(a.predictions, func(ctx context.Context, endpoint string) (string, error) {
		g, err := a.groundTruth(ctx, endpoint)
		return g.Key, err
	}, a.log)
	a.onClose("prediction queries", h.Close)
	return h.Routes()
}

// redaction is what the endpoints of a table say about columns of the prediction log.
func redaction(t *route.Table) map[string][]redact.Column {
	out := map[string][]redact.Column{}
	for _, e := range t.Endpoints() {
		for _, r := range e.Redaction {
			out[e.Name] = append(out[e.Name], redact.Column{Name: r.Column, Action: redact.Action(r.Action), Length: r.Length})
		}
	}
	return out
}

// redactionKeyBytes is the length of the key that columns are hashed under.
const redactionKeyBytes = 32

// redactionKey reads the key that columns are hashed under, or makes it. Servers that shall make the same hashes share the file.
func redactionKey(dataDir string) ([]byte, error) {
	name := filepath.Join(dataDir, "redaction.key")
	key, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = newRedactionKey(name)
	}
	if err == nil && len(key) != redactionKeyBytes {
		err = fmt.Errorf("%s has %d bytes, not %d", name, len(key), redactionKeyBytes)
	}
	return key, err
}

func newRedactionKey(name string) ([]byte, error) {
	key := make([]byte, redactionKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	return key, errors.Join(err, f.Sync(), f.Close())
}
