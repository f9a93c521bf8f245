package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"sluice/registry"
	"sluice/registry/fernet"
	"sluice/registry/outbox"
)

// webhookGrace is how long a stopping server waits for deliveries under way; what is broken off is delivered after the next start.
const webhookGrace = 2 * time.Second

// openWebhooks starts delivering the registry's changes.
func (a *App) openWebhooks(context.Context) error {
	key, err := webhookKey(&a.cfg, a.log)
	if err != nil {
		return err
	}
	guard, err := outbox.NewGuard(&outbox.GuardOptions{Schemes: a.cfg.WebhookAllowedSchemes, AllowPrivate: a.cfg.WebhookAllowPrivate})
	if err != nil {
		return fmt.Errorf("--webhook-allowed-schemes: %w", err)
	}
	sender, err := outbox.NewSender(outbox.SenderOptions{Guard: guard, Sealer: key, NewID: uuid.NewString})
	if err != nil {
		return err
	}
	out := outbox.Start(a.registryStore, sender, &outbox.Options{Logger: a.log})
	a.webhooks = registry.NewWebhooks(a.registryStore, registry.WebhookOptions{
		Sealer: key, CheckURL: guard.CheckURL, Try: sender.Try, NewID: uuid.NewString, Wake: out.Poke,
	})
	cancel := a.registry.Subscribe(func(registry.Event) { out.Poke() })
	a.onClose("webhooks", func(ctx context.Context) error {
		cancel()
		ctx, stop := context.WithTimeout(ctx, webhookGrace)
		defer stop()
		return out.Close(ctx)
	})
	return nil
}

// webhookKey returns the key that webhook secrets are sealed with: the one that is set, else the one kept in the data directory, which
// is made at the first start.
func webhookKey(cfg *Config, log *slog.Logger) (*fernet.Key, error) {
	if cfg.WebhookSecretKey != "" {
		key, err := fernet.New(cfg.WebhookSecretKey, nil)
		if err != nil {
			return nil, fmt.Errorf("--webhook-secret-key: %w", err)
		}
		return key, nil
	}
	file := filepath.Join(cfg.DataDir, "webhook.key")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		log.Info("a key for webhook secrets is made", slog.String("file", file))
		text = []byte(fernet.Generate())
		err = writeNew(file, text)
	}
	if err != nil {
		return nil, err
	}
	key, err := fernet.New(string(text), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// writeNew writes a file that only its owner may read, complete or not at all.
func writeNew(file string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
