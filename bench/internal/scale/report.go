package scale

import (
	"fmt"
	"strings"
)

// Part is the tables of one part of a measurement; parts may be measured apart.
type Part struct{ Name, Markdown string }

// Markdown is the tables of all parts that were measured, each with when and on what.
func (r *Result) Markdown() []Part {
	var parts []Part
	m := r.Machine
	head := fmt.Sprintf("%s, %d cores of %s, %d MB, Linux %s, fsync of 8 kB %.2f ms, load before %s.\n",
		r.Taken.Format("2006-01-02 15:04 UTC"), m.Cores, m.CPU, m.MemoryMB, m.Kernel, m.FsyncMS, m.Load)
	for _, part := range []struct {
		name  string
		has   bool
		write func(*strings.Builder)
	}{{"layouts", len(r.Creates) > 0, r.creates}, {"google", len(r.Google) > 0, r.google}, {"nats", len(r.NATS) > 0, r.stored}, {"events", len(r.Events) > 0, r.log}} {
		if part.has {
			var out strings.Builder
			out.WriteString(head)
			part.write(&out)
			parts = append(parts, Part{part.name, out.String()})
		}
	}
	return parts
}

func (r *Result) creates(out *strings.Builder) {
	one := r.Creates[0]
	fmt.Fprintf(out, "Creates with %d in flight, until the last job has drained; medians of %d rounds, all layouts in turn.\n\n", callers, r.Options.Rounds)
	out.WriteString("| gateways / meetings / schedulers / NATS servers | creates/s | of one each | p50 ms | p99 ms | CPU of a create, ms: " + strings.Join(kinds[:5], " + ") + " | failed |\n")
	out.WriteString("| --- | ---: | ---: | ---: | ---: | --- | ---: |\n")
	for _, c := range r.Creates {
		var cpu []string
		for _, kind := range kinds[:5] {
			cpu = append(cpu, fmt.Sprintf("%.2f", c.CPU[kind]))
		}
		fmt.Fprintf(out, "| %s | %.0f | %.0f %% | %.1f | %.1f | %s | %d |\n", c.Layout, c.PerSecond, 100*c.PerSecond/one.PerSecond, c.P50MS, c.P99MS, strings.Join(cpu, " + "), c.Failed)
	}
	out.WriteString("\nWhat one process takes in the first of these layouts:\n\n| program | memory after a few creates, MB | memory under load, MB | creates/s that one core of it would serve |\n| --- | ---: | ---: | ---: |\n")
	for _, kind := range kinds[:5] {
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f |\n", kind, one.IdleMB[kind], one.BusyMB[kind], 1000/one.CPU[kind])
	}
}

func (r *Result) google(out *strings.Builder) {
	fmt.Fprintf(out, "%d meetings that wait for a Google that takes %s for each call; medians of %d rounds, in turn.\n\n| schedulers | links /s | of one |\n| ---: | ---: | ---: |\n", backlog, slowGoogle, r.Options.Rounds)
	for _, g := range r.Google {
		fmt.Fprintf(out, "| %d | %.0f | %.0f %% |\n", g.Schedulers, g.PerSecond, 100*g.PerSecond/r.Google[0].PerSecond)
	}
}

func (r *Result) stored(out *strings.Builder) {
	fmt.Fprintf(out, "Messages of %d bytes in one stream of files; medians of %d rounds, in turn.\n\n| servers | copies | one by one /s | mean ms | pipelined /s |\n| ---: | ---: | ---: | ---: | ---: |\n", commandSize, r.Options.Rounds)
	for _, s := range r.NATS {
		fmt.Fprintf(out, "| %d | %d | %.0f | %.2f | %.0f |\n", s.Servers, s.Copies, s.OneByOne, 1000/s.OneByOne, s.Pipelined)
	}
}

func (r *Result) log(out *strings.Builder) {
	fmt.Fprintf(out, "%d events waiting for the one relay at once.\n\n| events | table and indexes, MB | relayed /s | creates/s | newest 100, ms | 1,000 from the middle, ms |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n", burst)
	for _, e := range r.Events {
		fmt.Fprintf(out, "| %d | %.0f | %.0f | %.0f | %.1f | %.1f |\n", e.Rows, e.TableMB, e.Relayed, e.Creates, e.PageMS, e.GapMS)
	}
}
