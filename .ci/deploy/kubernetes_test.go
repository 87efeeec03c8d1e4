// Package deploy checks the files in config/deploy with Kubernetes' and compose's own types. It has nothing but tests.
package deploy

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

var folder = filepath.Join("..", "..", "config", "deploy")

// file is what a file for Kubernetes holds.
type file struct {
	pods     []corev1.PodTemplateSpec
	services []corev1.Service
	budgets  []policyv1.PodDisruptionBudget
}

// Every field of every file is one of Kubernetes' API, and what refers to something else in the file finds it.
func TestKubernetes(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(folder, "kubernetes", "*.yaml"))
	if err != nil || len(names) < 6 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f := read(t, name)
			for _, pod := range f.pods {
				checkPod(t, pod.Spec)
			}
			for _, service := range f.services {
				pod := chosen(t, f, metav1.LabelSelector{MatchLabels: service.Spec.Selector})
				for _, port := range service.Spec.Ports {
					checkPort(t, pod.Spec, port.TargetPort)
				}
			}
			for _, budget := range f.budgets {
				chosen(t, f, *budget.Spec.Selector)
			}
		})
	}
}

func read(t *testing.T, name string) (f file) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatal(err)
		}
		decode := func(v any) {
			if err := yaml.UnmarshalStrict(document, v); err != nil {
				t.Errorf("%s: %v", meta.Kind, err)
			}
		}
		workload := func(selector *metav1.LabelSelector, pod corev1.PodTemplateSpec) {
			if !matches(t, *selector, pod.Labels) {
				t.Errorf("%s: the selector does not choose its own pods", meta.Kind)
			}
			f.pods = append(f.pods, pod)
		}
		switch meta.APIVersion + " " + meta.Kind {
		case "apps/v1 Deployment":
			var d appsv1.Deployment
			decode(&d)
			workload(d.Spec.Selector, d.Spec.Template)
			recreated := d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType
			if claims := slices.ContainsFunc(d.Spec.Template.Spec.Volumes, isClaim); claims != recreated || claims && *d.Spec.Replicas != 1 {
				t.Error("a volume for one pod wants one replica, which is recreated, and no volume wants neither")
			}
		case "apps/v1 StatefulSet":
			var s appsv1.StatefulSet
			decode(&s)
			for _, claim := range s.Spec.VolumeClaimTemplates {
				s.Spec.Template.Spec.Volumes = append(s.Spec.Template.Spec.Volumes, corev1.Volume{Name: claim.Name})
			}
			workload(s.Spec.Selector, s.Spec.Template)
		case "batch/v1 Job":
			var j batchv1.Job
			decode(&j)
			checkJob(t, j.Spec)
			f.pods = append(f.pods, j.Spec.Template)
		case "batch/v1 CronJob":
			var c batchv1.CronJob
			decode(&c)
			if c.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
				t.Error("two runs at once")
			}
			checkJob(t, c.Spec.JobTemplate.Spec)
			f.pods = append(f.pods, c.Spec.JobTemplate.Spec.Template)
		case "v1 Service":
			f.services = append(f.services, corev1.Service{})
			decode(&f.services[len(f.services)-1])
		case "v1 PersistentVolumeClaim":
			decode(&corev1.PersistentVolumeClaim{})
		case "policy/v1 PodDisruptionBudget":
			f.budgets = append(f.budgets, policyv1.PodDisruptionBudget{})
			decode(&f.budgets[len(f.budgets)-1])
		case "networking.k8s.io/v1 NetworkPolicy":
			var p networkingv1.NetworkPolicy
			decode(&p)
			checkNetworkPolicy(t, p.Spec)
		default:
			t.Errorf("a %s %s: teach this test about it", meta.APIVersion, meta.Kind)
		}
	}
	return f
}

func isClaim(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }

func matches(t *testing.T, s metav1.LabelSelector, of map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		t.Error(err)
	}
	return selector.Matches(labels.Set(of))
}

// chosen is the one kind of pods in the file that a selector chooses.
func chosen(t *testing.T, f file, s metav1.LabelSelector) corev1.PodTemplateSpec {
	for _, pod := range f.pods {
		if matches(t, s, pod.Labels) {
			return pod
		}
	}
	t.Fatalf("%v chooses no pods of this file", s.MatchLabels)
	panic("unreachable")
}

// checkPod wants a pod that may do no more than it must, and that is stopped and looked at as it should.
func checkPod(t *testing.T, pod corev1.PodSpec) {
	c := pod.SecurityContext
	switch {
	case c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot:
		t.Error("may run as root")
	case c.SeccompProfile == nil || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Error("any system call goes")
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("gets variables of Services, or a token that it has no use for")
	}
	ours := 0
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		checkContainer(t, pod, container)
		if container.Name != "snapshot-mirror" {
			continue
		}
		ours++
		user := container.SecurityContext.RunAsUser
		if user == nil {
			user = c.RunAsUser
		}
		if user == nil || *user != 65532 {
			t.Error("does not run as the image's user, 65532")
		}
		if container.Args[0] == "serve" {
			checkProbes(t, pod, container)
		}
	}
	if ours != 1 {
		t.Errorf("%d containers snapshot-mirror, want one", ours)
	}
	for _, container := range pod.InitContainers {
		if container.RestartPolicy == nil || *container.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			t.Errorf("%s is no sidecar: the others would wait for its end", container.Name)
		}
	}
}

func checkContainer(t *testing.T, pod corev1.PodSpec, container corev1.Container) {
	c := container.SecurityContext
	switch {
	case c == nil || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem:
		t.Errorf("%s can write to its image", container.Name)
	case c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation:
		t.Errorf("%s can get more rights", container.Name)
	case c.Capabilities == nil || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(c.Capabilities.Add) > 0:
		t.Errorf("%s has capabilities", container.Name)
	}
	requests, limits := container.Resources.Requests, container.Resources.Limits
	if requests.Cpu().IsZero() || requests.Memory().IsZero() || limits.Memory().IsZero() || requests.Memory().Cmp(*limits.Memory()) > 0 {
		t.Errorf("%s asks for %v within %v", container.Name, slices.Collect(maps.Keys(requests)), slices.Collect(maps.Keys(limits)))
	}
	for _, mount := range container.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
			t.Errorf("%s mounts %s, which is not there", container.Name, mount.Name)
		}
	}
	for _, v := range container.Env {
		if v.ValueFrom != nil && (v.ValueFrom.SecretKeyRef == nil || v.ValueFrom.SecretKeyRef.Name != "snapshot-mirror") {
			t.Errorf("%s: %s is of another secret than the README's", container.Name, v.Name)
		}
	}
}

func checkProbes(t *testing.T, pod corev1.PodSpec, container corev1.Container) {
	for path, probe := range map[string]*corev1.Probe{"/livez": container.LivenessProbe, "/readyz": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path {
			t.Errorf("no probe asks %s", path)
			continue
		}
		checkPort(t, pod, probe.HTTPGet.Port)
		if probe.TimeoutSeconds < 3 {
			t.Errorf("%s: asking the queue may take 2 s", path)
		}
	}
	if container.StartupProbe == nil {
		t.Fatal("no startup probe: a long queue takes a while to open")
	}
	checkPort(t, pod, container.StartupProbe.HTTPGet.Port)
}

func checkPort(t *testing.T, pod corev1.PodSpec, port intstr.IntOrString) {
	for _, container := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, p := range container.Ports {
			if p.Name == port.StrVal || p.ContainerPort == port.IntVal {
				return
			}
		}
	}
	t.Errorf("no container has a port %s", port.String())
}

// checkJob wants the program's exit codes to be understood: 2 is for ever, 3 is done.
func checkJob(t *testing.T, job batchv1.JobSpec) {
	if job.Template.Spec.RestartPolicy != corev1.RestartPolicyNever || job.PodFailurePolicy == nil {
		t.Fatal("a policy for failures wants restartPolicy: Never")
	}
	indexed := job.CompletionMode != nil && *job.CompletionMode == batchv1.IndexedCompletion
	want := map[int32]batchv1.PodFailurePolicyAction{2: batchv1.PodFailurePolicyActionFailJob, 3: batchv1.PodFailurePolicyActionFailJob}
	if indexed {
		want[3] = batchv1.PodFailurePolicyActionFailIndex
		if job.BackoffLimitPerIndex == nil {
			t.Error("FailIndex wants backoffLimitPerIndex")
		}
		share := fmt.Sprintf("--shard=$(JOB_COMPLETION_INDEX)/%d", *job.Completions)
		if !slices.Contains(job.Template.Spec.Containers[0].Args, share) {
			t.Errorf("no argument %s", share)
		}
	}
	got := map[int32]batchv1.PodFailurePolicyAction{}
	for _, rule := range job.PodFailurePolicy.Rules {
		if rule.OnExitCodes == nil {
			continue
		}
		if name := rule.OnExitCodes.ContainerName; name == nil || *name != "snapshot-mirror" || rule.OnExitCodes.Operator != batchv1.PodFailurePolicyOnExitCodesOpIn {
			t.Errorf("a rule for the exit codes of %v", name)
		}
		for _, code := range rule.OnExitCodes.Values {
			got[code] = rule.Action
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// checkNetworkPolicy wants both directions closed but for what is named.
func checkNetworkPolicy(t *testing.T, p networkingv1.NetworkPolicySpec) {
	if len(p.PolicyTypes) != 2 {
		t.Error("one direction is open")
	}
	for _, rule := range p.Egress {
		if len(rule.Ports) == 0 || len(rule.To) == 0 {
			t.Error("a way out to everywhere")
		}
	}
	for _, rule := range p.Ingress {
		if len(rule.Ports) == 0 || len(rule.From) == 0 {
			t.Error("a way in from everywhere")
		}
	}
}
