package monitor

import (
	"context"
	"fmt"
	"iter"

	"sluice/gateway/predictions"
	"sluice/tracking"
)

// Places lists where the serving runs keep their segments; Path is empty. After an error the sequence ends.
func Places(ctx context.Context, t Tracking) iter.Seq2[predictions.Place, error] {
	return func(yield func(predictions.Place, error) bool) {
		experiments, err := servingExperiments(ctx, t)
		if err != nil {
			yield(predictions.Place{}, err)
			return
		}
		if len(experiments) == 0 {
			return
		}
		q := tracking.RunQuery{ExperimentIDs: experiments, MaxResults: runPage, Filter: fmt.Sprintf("tags.`%s` = 'true'", TagServing)}
		for {
			page, err := t.SearchRuns(ctx, q)
			if err != nil {
				yield(predictions.Place{}, fmt.Errorf("search serving runs: %w", err))
				return
			}
			for _, r := range page.Runs {
				if !yield(predictions.Place{RunID: r.Info.ID, ArtifactURI: r.Info.ArtifactURI}, nil) {
					return
				}
			}
			if q.PageToken = page.NextPageToken; q.PageToken == "" {
				return
			}
		}
	}
}
