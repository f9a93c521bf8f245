//go:build !linux

package main

// machineMemory is unknown here: --model-memory-bytes has no default but no bound.
func machineMemory() int64 { return 0 }
