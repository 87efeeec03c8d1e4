package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// ceiling is the program of the first of the peers. Its arguments are the list, the URL that keys are added to, how many at once, and
// the keys.
func ceiling() {
	list, to, accessKey, secretKey := os.Args[1], os.Args[2], os.Args[4], os.Args[5]
	concurrency, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	f, err := os.Open(list)
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, DisableCompression: true}}
	lines := make(chan string)
	var group errgroup.Group
	for range concurrency {
		group.Go(func() error {
			buffer := make([]byte, 256<<10)
			for line := range lines {
				from, key, _ := strings.Cut(line, "\t")
				if err := storetest.CopyRaw(context.Background(), client, from, to+"/"+key, buffer, accessKey, secretKey); err != nil {
					panic(err)
				}
			}
			return nil
		})
	}
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		lines <- scanner.Text()
	}
	close(lines)
	_ = group.Wait()
}
