package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"

	"sluice/deploy/examples"
	"sluice/gateway"
	"sluice/registry"
	"sluice/tracking"
	"sluice/tracking/artifact"
)

const (
	demoModel = "wine"
	// demoTag of the registered model tells how far the demo came: a start that finds "making" begins again.
	demoTag               = "sluice.demo"
	demoMaking, demoReady = "making", "ready"
)

// demo fills an empty store with two versions of the example model and an endpoint that splits between them.
type demo struct {
	tracking  *tracking.Service
	registry  *registry.Service
	endpoints *gateway.Service
	artifacts *artifact.Resolver
	log       *slog.Logger
}

// fill does nothing if anything is registered already, except a demo that was interrupted.
func (d *demo) fill(ctx context.Context) error {
	page, err := d.registry.SearchModels(ctx, registry.SearchQuery{MaxResults: 2})
	if err != nil {
		return err
	}
	if len(page.Models) > 0 {
		if !interrupted(page.Models) {
			return nil
		}
		if err := d.registry.DeleteModel(ctx, demoModel, true); err != nil {
			return err
		}
	}
	d.log.InfoContext(ctx, "filling the empty store with the example model", slog.String("model", demoModel))
	return d.make(ctx)
}

func interrupted(models []registry.Model) bool {
	if len(models) != 1 || models[0].Name != demoModel {
		return false
	}
	for _, t := range models[0].Tags {
		if t.Key == demoTag {
			return t.Value == demoMaking
		}
	}
	return false
}

func (d *demo) make(ctx context.Context) error {
	_, err := d.registry.CreateModel(ctx, registry.ModelSpec{
		Name: demoModel, Description: "Which of three cultivars a wine is of, from 13 measurements. Made by deploy/examples/wine/train.py.",
		Tags: []registry.Tag{{Key: demoTag, Value: demoMaking}},
	})
	if err != nil {
		return err
	}
	accuracy, err := demoAccuracy()
	if err != nil {
		return err
	}
	stages := map[int]string{1: string(registry.StageProduction), 2: string(registry.StageStaging)}
	for version := 1; version <= 2; version++ {
		if err := d.version(ctx, version, accuracy[fmt.Sprintf("v%d", version)]); err != nil {
			return fmt.Errorf("version %d: %w", version, err)
		}
		if _, err := d.registry.SetStage(ctx, demoModel, version, stages[version], false); err != nil {
			return err
		}
	}
	if err := d.endpoint(ctx); err != nil {
		return err
	}
	return d.registry.SetModelTag(ctx, demoModel, registry.Tag{Key: demoTag, Value: demoReady})
}

// demoAccuracy returns the accuracy of "v1" and "v2" on held-out rows.
func demoAccuracy() (map[string]float64, error) {
	text, err := examples.WineReport()
	if err != nil {
		return nil, err
	}
	var report map[string]struct {
		Accuracy float64 `json:"accuracy"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for version, r := range report {
		out[version] = r.Accuracy
	}
	return out, nil
}

// version makes a training run with the model as its artifact and registers it.
func (d *demo) version(ctx context.Context, version int, accuracy float64) error {
	run, err := d.tracking.CreateRun(ctx, tracking.RunSpec{ExperimentID: tracking.DefaultExperimentID, Name: fmt.Sprintf("wine-v%d", version)})
	if err != nil {
		return err
	}
	files, err := examples.Wine(version)
	if err != nil {
		return err
	}
	repo, err := d.artifacts.Resolve(run.Info.ArtifactURI)
	if err != nil {
		return err
	}
	if err := upload(ctx, repo, files, "model"); err != nil {
		return err
	}
	if err := d.tracking.LogMetric(ctx, run.Info.ID, tracking.Metric{Key: "test_accuracy", Value: accuracy, TimestampMS: run.Info.StartTimeMS}); err != nil {
		return err
	}
	if _, err := d.tracking.UpdateRun(ctx, run.Info.ID, tracking.RunUpdate{Status: tracking.Finished}); err != nil {
		return err
	}
	_, err = d.registry.CreateVersion(ctx, registry.VersionSpec{Name: demoModel, Source: run.Info.ArtifactURI + "/model", RunID: &run.Info.ID})
	return err
}

func upload(ctx context.Context, repo *artifact.Repo, files fs.FS, below string) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := files.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = repo.Write(ctx, artifact.Join(below, name), f)
		return err
	})
}

// endpoint splits 90 % Production, 10 % Staging; one that is there already stays as it is.
func (d *demo) endpoint(ctx context.Context) error {
	production, err := gateway.StageSelector(string(registry.StageProduction))
	if err != nil {
		return err
	}
	staging, err := gateway.StageSelector(string(registry.StageStaging))
	if err != nil {
		return err
	}
	_, err = d.endpoints.Create(ctx, gateway.Endpoint{Name: demoModel, Creator: "demo", Config: gateway.Config{ServedEntities: []gateway.ServedEntity{
		{Name: "stable", Model: demoModel, Target: production, Weight: gateway.FullWeight / 100 * 90},
		{Name: "canary", Model: demoModel, Target: staging, Weight: gateway.FullWeight / 100 * 10},
	}}})
	return err
}
