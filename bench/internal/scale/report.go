package scale

import (
	"fmt"
	"strings"
)

// Markdown is the whole result.
func (r *Result) Markdown() string {
	var out strings.Builder
	m := r.Machine
	fmt.Fprintf(&out, "%s, %d cores of %s, %d MB, Linux %s, fsync of 8 kB %.2f ms, load before %s. Every program is a process of its own,\nPostgres with fsync; load generator and emulator on the same cores; medians of %d rounds, all layouts in turn.\n",
		r.Taken.Format("2006-01-02 15:04 UTC"), m.Cores, m.CPU, m.MemoryMB, m.Kernel, m.FsyncMS, m.Load, r.Options.Rounds)
	for _, part := range []struct {
		has   bool
		write func(*strings.Builder)
	}{{len(r.Creates) > 0, r.creates}, {len(r.Google) > 0, r.google}, {len(r.NATS) > 0, r.stored}, {len(r.Events) > 0, r.log}} {
		if part.has {
			part.write(&out)
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func (r *Result) creates(out *strings.Builder) {
	one := r.Creates[0]
	fmt.Fprintf(out, "\n**Layouts**, creates with %d in flight, until the last job has drained:\n\n", callers)
	out.WriteString("| gateways / meetings / schedulers / NATS servers | creates/s | of one each | p50 ms | p99 ms | CPU of a create, ms: " + strings.Join(kinds[:5], " + ") + " | failed |\n")
	out.WriteString("| --- | ---: | ---: | ---: | ---: | --- | ---: |\n")
	for _, c := range r.Creates {
		var cpu []string
		for _, kind := range kinds[:5] {
			cpu = append(cpu, fmt.Sprintf("%.2f", c.CPU[kind]))
		}
		fmt.Fprintf(out, "| %s | %.0f | %.0f %% | %.1f | %.1f | %s | %d |\n", c.Layout, c.PerSecond, 100*c.PerSecond/one.PerSecond, c.P50MS, c.P99MS, strings.Join(cpu, " + "), c.Failed)
	}
	out.WriteString("\n**What one process takes** in the first of these layouts:\n\n| program | memory after a few creates, MB | memory under load, MB | creates/s that one core of it would serve |\n| --- | ---: | ---: | ---: |\n")
	for _, kind := range kinds[:5] {
		fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f |\n", kind, one.IdleMB[kind], one.BusyMB[kind], 1000/one.CPU[kind])
	}
}

func (r *Result) google(out *strings.Builder) {
	fmt.Fprintf(out, "\n**Schedulers**, with %d meetings that wait for a Google that takes %s for each call:\n\n| schedulers | meetings with a link /s | of one |\n| ---: | ---: | ---: |\n", backlog, slowGoogle)
	for _, g := range r.Google {
		fmt.Fprintf(out, "| %d | %.0f | %.0f %% |\n", g.Schedulers, g.PerSecond, 100*g.PerSecond/r.Google[0].PerSecond)
	}
}

func (r *Result) stored(out *strings.Builder) {
	fmt.Fprintf(out, "\n**NATS**, messages of %d bytes in one stream of files:\n\n| servers | copies | one by one /s | mean ms | pipelined /s |\n| ---: | ---: | ---: | ---: | ---: |\n", commandSize)
	for _, s := range r.NATS {
		fmt.Fprintf(out, "| %d | %d | %.0f | %.2f | %.0f |\n", s.Servers, s.Copies, s.OneByOne, 1000/s.OneByOne, s.Pipelined)
	}
}

func (r *Result) log(out *strings.Builder) {
	fmt.Fprintf(out, "\n**The log of events**, %d of them waiting for the one relay at once:\n\n| events | table and indexes, MB | relayed /s | creates/s | newest 100, ms | 1,000 from the middle, ms |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n", burst)
	for _, e := range r.Events {
		fmt.Fprintf(out, "| %d | %.0f | %.0f | %.0f | %.1f | %.1f |\n", e.Rows, e.TableMB, e.Relayed, e.Creates, e.PageMS, e.GapMS)
	}
}
