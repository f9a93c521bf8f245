package main

import (
	"os"
	"strings"
	"testing"
)

const smaps = `00400000-00403000 r--p 00000000 fe:00 99                         /opt/my sluice
Size:                 12 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00403000-01be8000 r-xp 00003000 fe:00 99                         /opt/my sluice
Rss:               22420 kB
Anonymous:             0 kB
01be8000-034bd000 r--p 017e8000 fe:00 99                         /opt/my sluice
Anonymous:             4 kB
034c0000-03650000 rw-p 030c0000 fe:00 99                         /opt/my sluice
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 98                 /opt/other
Anonymous:             0 kB
7f0000002000-7f0000003000 r--s 00000000 fe:00 99                 /opt/my sluice
Anonymous:             0 kB
7f0000004000-7f0000005000 r--p 00000000 00:00 0
Anonymous:             0 kB
`

func TestOnlyUnchangedPagesOfTheProgramAreReleased(t *testing.T) {
	got := fileMappings([]byte(smaps), "/opt/my sluice")
	want := []mapping{{from: 0x400000, to: 0x403000}, {from: 0x403000, to: 0x1be8000, code: true}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, damaged := range []string{"", "zz-1 r--p 0 0:0 1 /opt/my sluice\nAnonymous: 0 kB", "Anonymous: 0 kB", "1-2 r--p\nAnonymous: 0 kB\n"} {
		if got := fileMappings([]byte(damaged), "/opt/my sluice"); len(got) > 0 {
			t.Errorf("%q: got %v", damaged, got)
		}
	}
}

// TestTheProgramRunsOnAfterItsPagesWereReleased does it to the test's own program, which then goes on from the page cache.
func TestTheProgramRunsOnAfterItsPagesWereReleased(t *testing.T) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if found := fileMappings(now, program); len(found) < 2 || !found[len(found)-1].code && !found[len(found)-2].code {
		t.Fatalf("of this program only %v was found in\n%s", found, now)
	}
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	if strings.Repeat("still", 2) != "stillstill" {
		t.Error("the program's constants changed")
	}
}
