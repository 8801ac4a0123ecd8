package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// serveCluster is serveNATS with several servers in this process, each with its own store and routes to the others over
// loopback, as on machines of their own but for the network and the disks.
func serveCluster(ctx context.Context, _, dir string) error {
	n, err := strconv.Atoi(os.Getenv(serversVariable))
	if err != nil {
		return fmt.Errorf("%s: %w", serversVariable, err)
	}
	var ports []int
	var routes []*url.URL
	for range n {
		addr, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return err
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		ports, routes = append(ports, number), append(routes, &url.URL{Scheme: "nats-route", Host: addr})
	}
	var servers []*server.Server
	defer func() {
		for _, s := range servers {
			s.Shutdown()
			s.WaitForShutdown()
		}
	}()
	var urls []string
	for i := range n {
		name := numbered("nats", i)
		s, err := server.NewServer(&server.Options{
			ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: filepath.Join(dir, name), JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 16 << 30,
			Cluster: server.ClusterOpts{Name: "bench", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		})
		if err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		servers = append(servers, s)
		s.Start()
	}
	for _, s := range servers {
		if !s.ReadyForConnections(startPatience) {
			return errors.New("a server of the cluster takes no connections")
		}
		urls = append(urls, s.ClientURL())
	}
	if err := awaitLeader(ctx, servers); err != nil {
		return err
	}
	fmt.Println(servesLine + strings.Join(urls, ","))
	<-ctx.Done()
	return nil
}

// awaitLeader waits until the servers have chosen who places streams and all follow; nothing tells of that.
func awaitLeader(ctx context.Context, servers []*server.Server) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errors.New("the cluster has chosen no leader"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		led, current := false, true
		for _, s := range servers {
			led = led || s.JetStreamIsLeader()
			current = current && s.JetStreamIsCurrent()
		}
		if led && current {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
