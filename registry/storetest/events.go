package storetest

import "sluice/registry"

func testEvents(s *suite) {
	ctx, st := s.Context(), s.store
	revision, err := st.Revision(ctx)
	s.ok(err)
	equal(s, "revision of an empty store", revision, 0)
	var returned []registry.Event
	keep := func(events []registry.Event, err error) {
		s.Helper()
		s.ok(err)
		returned = append(returned, events...)
	}
	_, events, err := st.CreateModel(ctx, registry.ModelSpec{Name: "a"}, 1)
	keep(events, err)
	for range 2 {
		_, events, err = st.CreateVersion(ctx, registry.Version{Name: "a", Source: "s3://b/x"}, 2)
		keep(events, err)
	}
	_, events, err = st.SetStage(ctx, "a", 1, registry.StageProduction, false, 3)
	keep(events, err)
	_, events, err = st.SetStage(ctx, "a", 2, registry.StageProduction, true, 4)
	keep(events, err)
	keep(st.SetAlias(ctx, "a", "champ", 2, 5))
	keep(st.SetAlias(ctx, "a", "old", 1, 6))
	keep(st.DeleteAlias(ctx, "a", "old", 7))
	keep(st.SetVersionTag(ctx, "a", 1, registry.Tag{Key: "k"}, 8))
	keep(st.DeleteVersionTag(ctx, "a", 1, "k", 9))
	keep(st.SetModelTag(ctx, "a", registry.Tag{Key: "k"}, 10))
	keep(st.DeleteModelTag(ctx, "a", "k", 11))
	_, events, err = st.SetModelDescription(ctx, "a", "d", 12)
	keep(events, err)
	_, events, err = st.SetVersionDescription(ctx, "a", 1, nil, 13)
	keep(events, err)
	keep(st.DeleteVersion(ctx, "a", 2, 14))
	_, events, err = st.RenameModel(ctx, "a", "b", 15)
	keep(events, err)
	keep(st.DeleteModel(ctx, "b", 16))

	want := []registry.Event{
		{Kind: registry.ModelCreated, TimeMS: 1},
		{Kind: registry.VersionCreated, Version: 1, To: registry.StageNone, TimeMS: 2},
		{Kind: registry.VersionCreated, Version: 2, To: registry.StageNone, TimeMS: 2},
		{Kind: registry.VersionStaged, Version: 1, From: registry.StageNone, To: registry.StageProduction, TimeMS: 3},
		{Kind: registry.VersionStaged, Version: 1, From: registry.StageProduction, To: registry.StageArchived, TimeMS: 4},
		{Kind: registry.VersionStaged, Version: 2, From: registry.StageNone, To: registry.StageProduction, TimeMS: 4},
		{Kind: registry.AliasSet, Version: 2, Alias: "champ", TimeMS: 5},
		{Kind: registry.AliasSet, Version: 1, Alias: "old", TimeMS: 6},
		{Kind: registry.AliasDeleted, Version: 1, Alias: "old", TimeMS: 7},
		{Kind: registry.VersionTagSet, Version: 1, Key: "k", TimeMS: 8},
		{Kind: registry.VersionTagDeleted, Version: 1, Key: "k", TimeMS: 9},
		{Kind: registry.ModelTagSet, Key: "k", TimeMS: 10},
		{Kind: registry.ModelTagDeleted, Key: "k", TimeMS: 11},
		{Kind: registry.ModelUpdated, TimeMS: 12},
		{Kind: registry.VersionUpdated, Version: 1, TimeMS: 13},
		{Kind: registry.AliasDeleted, Version: 2, Alias: "champ", TimeMS: 14},
		{Kind: registry.VersionDeleted, Version: 2, From: registry.StageProduction, TimeMS: 14},
		{Kind: registry.ModelRenamed, NewName: "b", TimeMS: 15},
		{Kind: registry.ModelDeleted, TimeMS: 16},
	}
	for i := range want {
		want[i].Revision, want[i].Model = int64(i+1), "a"
	}
	want[len(want)-1].Model = "b"
	equal(s, "returned", returned, want)
	stored, err := st.Events(ctx, 0, 100)
	s.ok(err)
	equal(s, "stored", stored, want)
	part, err := st.Events(ctx, 5, 3)
	s.ok(err)
	equal(s, "part", part, want[5:8])
	revision, err = st.Revision(ctx)
	s.ok(err)
	equal(s, "revision", revision, int64(len(want)))
}

func testSnapshot(s *suite) {
	ctx := s.Context()
	s.model("empty")
	s.model("wine")
	run := "r1"
	_, _, err := s.store.CreateVersion(ctx, registry.Version{Name: "wine", Source: "models:/m-1", StorageLocation: "s3://b/models/m-1/artifacts", RunID: &run}, 2000)
	s.ok(err)
	s.version("wine")
	s.version("wine")
	s.stage("wine", 1, registry.StageProduction, false)
	stagedAt := s.clock
	_, err = s.store.DeleteVersion(ctx, "wine", 2, s.tick())
	s.ok(err)
	_, err = s.store.SetAlias(ctx, "wine", "champ", 1, s.tick())
	s.ok(err)
	got, err := s.store.Snapshot(ctx)
	s.ok(err)
	want := []registry.ModelSnapshot{
		{Name: "empty"},
		{
			Name: "wine", Aliases: []registry.Alias{{Name: "champ", Version: 1}},
			Versions: []registry.VersionSnapshot{
				{
					Version: 1, Stage: registry.StageProduction, Status: registry.StatusReady, Source: "models:/m-1",
					StorageLocation: "s3://b/models/m-1/artifacts", RunID: "r1", ModelID: "m-1", CreatedMS: 2000, UpdatedMS: stagedAt,
				},
				{
					Version: 3, Stage: registry.StageNone, Status: registry.StatusReady, Source: "s3://bucket/wine",
					StorageLocation: "s3://bucket/wine", CreatedMS: 1040, UpdatedMS: 1040,
				},
			},
		},
	}
	equal(s, "snapshot", got, want)
}
