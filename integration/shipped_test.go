package integration

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
)

// composeFile loads the compose file as Compose v2 does, which holds it against the
// schema, with nothing from the environment.
func composeFile(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithName("hierarchy"), cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeProfiles(t *testing.T) {
	plain := []string{"broker-1", "broker-2", "broker-3", "init", "worker"}
	for profile, more := range map[string][]string{
		"": nil, "demo": {"demo"}, "observability": {"grafana", "jaeger", "prometheus"},
	} {
		want := append(slices.Clone(plain), more...)
		slices.Sort(want)
		got := slices.Sorted(maps.Keys(composeFile(t, profile).Services))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("services with the profile %q (- want, + got):\n%s", profile, diff)
		}
	}
}

// TestComposeConfines checks what every service of the compose file must not do.
func TestComposeConfines(t *testing.T) {
	for name, s := range composeFile(t, "*").Services {
		user, _, _ := strings.Cut(s.User, ":")
		for what, ok := range map[string]bool{
			"has a read-only root":          s.ReadOnly,
			"runs as somebody else than 0":  user != "" && user != "0" && user != "root",
			"has no capabilities":           slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0 && !s.Privileged,
			"gets no new privileges":        slices.Contains(s.SecurityOpt, "no-new-privileges:true"),
			"has limits":                    s.MemLimit > 0 && s.CPUS > 0 && s.PidsLimit > 0,
			"bounds its log":                s.Logging != nil && s.Logging.Options["max-size"] != "",
			"has an image of a known tag":   strings.Contains(s.Image, ":"),
			"is published to the host only": !slices.ContainsFunc(s.Ports, func(p types.ServicePortConfig) bool { return p.HostIP != "127.0.0.1" }),
		} {
			if !ok {
				t.Errorf("%s: it is not so that it %s", name, what)
			}
		}
	}
}

// TestComposeKeeps checks that whatever must survive a container is in a named volume,
// and that what is mounted from the repository is there and cannot be written to.
func TestComposeKeeps(t *testing.T) {
	project := composeFile(t, "*")
	kept := map[string][]string{}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume {
				kept[v.Source] = append(kept[v.Source], name+":"+v.Target)
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				t.Errorf("%s mounts %s, read only %t: %v", name, v.Source, v.ReadOnly, err)
			}
		}
	}
	want := map[string][]string{
		"broker-1": {"broker-1:/data"}, "broker-2": {"broker-2:/data"}, "broker-3": {"broker-3:/data"},
		"prometheus": {"prometheus:/prometheus"}, "grafana": {"grafana:/var/lib/grafana"},
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("volumes (- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(project.Volumes))); diff != "" {
		t.Errorf("declared volumes (- want, + got):\n%s", diff)
	}
}

// TestBrokerVersion holds the tag of the broker's image against go.mod, from where its
// binary is.
func TestBrokerVersion(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, tag, _ := strings.Cut(composeFile(t).Services["broker-1"].Image, ":")
	if line := "github.com/nats-io/nats-server/v2 v" + tag + "\n"; !strings.Contains(string(mod), line) {
		t.Errorf("the broker's image has the tag %s, which is not the version in go.mod", tag)
	}
}

// TestBrokersAreDurable has nats-server read the configuration that brokers are shipped
// with: what they acknowledge is on the disk, and a cluster has three of them.
func TestBrokersAreDurable(t *testing.T) {
	t.Setenv("BROKER_NAME", "broker-1")
	for file, routes := range map[string]int{"server.conf": 0, "cluster.conf": 3} {
		options, err := server.ProcessConfigFile("../deploy/nats/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if !options.JetStream || !options.SyncAlways || options.StoreDir != "/data" {
			t.Errorf("%s: JetStream %t, sync always %t, in %s", file, options.JetStream, options.SyncAlways, options.StoreDir)
		}
		if len(options.Routes) != routes {
			t.Errorf("%s has %d routes, want %d", file, len(options.Routes), routes)
		}
	}
}
