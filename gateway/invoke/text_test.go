package invoke

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/runtime/batch"
)

func TestUUIDv7(t *testing.T) {
	at := time.UnixMilli(1_763_884_800_123)
	id := uuid7(at, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff)
	text := string(appendUUID(nil, &id))
	parsed, err := uuid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Version() != 7 || parsed.Variant() != uuid.RFC4122 || parsed != uuid.UUID(id) {
		t.Errorf("%s: version %v, variant %v", text, parsed.Version(), parsed.Variant())
	}
	if sec, ns := parsed.Time().UnixTime(); time.Unix(sec, ns).UnixMilli() != at.UnixMilli() {
		t.Errorf("time %v, want %v", time.Unix(sec, ns), at)
	}
	seen := map[[16]byte]bool{}
	for range 100_000 {
		seen[uuid7(at, rand.Uint64()>>32, rand.Uint64())] = true
	}
	if len(seen) != 100_000 {
		t.Errorf("%d different ids of 100000", len(seen))
	}
	later := uuid7(at.Add(time.Millisecond), 0, 0)
	if bytes.Compare(id[:], later[:]) >= 0 {
		t.Error("ids do not sort by time")
	}
}

func TestServerTiming(t *testing.T) {
	got := string(appendTiming(nil, &batch.Timing{Queue: 1234567, Execute: 42 * time.Microsecond, BatchRows: 8}, 1500*time.Microsecond))
	if want := `queue;dur=1.234, batch;desc="rows=8", execute;dur=0.042, total;dur=1.500`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(appendTiming(nil, &batch.Timing{}, 7*time.Microsecond)), `total;dur=0.007`; got != want {
		t.Errorf("without an execution %s, want %s", got, want)
	}
}

func TestParseTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	cases := []struct {
		name, text string
		ok         bool
		sampled    bool
	}{
		{"sampled", good, true, true},
		{"not sampled", good[:53] + "00", true, false},
		{"other flags", good[:53] + "03", true, true},
		{"a later version", "cc" + good[2:] + "-what-comes", true, true},
		{"a later version of this length", "cc" + good[2:], true, true},
		{"version ff", "ff" + good[2:], false, false},
		{"version 00 with more", good + "-x", false, false},
		{"a later version without separator", "cc" + good[2:] + "x", false, false},
		{"trace id zero", "00-00000000000000000000000000000000-b7ad6b7169203331-01", false, false},
		{"span id zero", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false, false},
		{"upper case", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false, false},
		{"short", good[:54], false, false},
		{"empty", "", false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tc, ok := parseTraceparent([]byte(c.text))
			if ok != c.ok || ok && tc.sampled != c.sampled {
				t.Errorf("got %+v, %v", tc, ok)
			}
		})
	}
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add([]byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	f.Add([]byte("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tc, ok := parseTraceparent(text)
		if !ok {
			return
		}
		again, ok := parseTraceparent(appendTraceparent(nil, &tc))
		if !ok || again != tc {
			t.Errorf("%q was read as %+v, which is written as something else", text, tc)
		}
	})
}

func FuzzTimeoutMS(f *testing.F) {
	for _, s := range []string{"1", "60000", "", "0", "-1", "99999999999999999999", "1.5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, ok := timeoutMS(text); ok && (d <= 0 || d > 24*time.Hour) {
			t.Errorf("%q became %v", text, d)
		}
	})
}

func TestRatioThreshold(t *testing.T) {
	for _, ratio := range []float64{0, 0.01, 0.5, 1} {
		at := ratioThreshold(ratio)
		rng := rand.New(rand.NewPCG(7, 7))
		n := 0
		for range 100_000 {
			if rng.Uint64() < at {
				n++
			}
		}
		if want := ratio * 100_000; float64(n) < want-1000 || float64(n) > want+1000 {
			t.Errorf("ratio %v takes %d of 100000", ratio, n)
		}
	}
}
