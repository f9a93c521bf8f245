package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// allocations reads how many objects our server has allocated on the Go heap so far.
func allocations(p *process) (float64, error) {
	return metric(p, "go_memory_allocations_total")
}

// metric reads one unlabelled figure of our server's /metrics.
func metric(p *process, name string) (float64, error) {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(p.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		found, rest, _ := strings.Cut(s.Text(), " ")
		if found, _, _ = strings.Cut(found, "{"); found == name {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("%s shows no metric %s", p.name, name)
}

// metricSum is the sum over all labels of a figure of our server's /metrics; 0 where it is not there.
func (a api) metricSum(name string) (float64, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(a.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	sum := 0.0
	scan := bufio.NewScanner(res.Body)
	for scan.Scan() {
		line := scan.Text()
		if !strings.HasPrefix(line, name+"{") {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, scan.Err()
}
