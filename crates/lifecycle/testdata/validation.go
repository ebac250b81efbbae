// Reads validation.txt and prints it with upstream's own answers under each patch. Needs k8s.io/kubernetes@v1.37.2 with
// its staging modules; the go.mod of crates/lab/controlplane names them. Run it beside a copy of that file:
//
//	go run . < validation.txt
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/capabilities"
)

const small = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"c","image":"i:1"}]}}`

var long = regexp.MustCompile("@[0-9]+@")
var many = regexp.MustCompile("x{60,}")

func written(text string) string {
	return long.ReplaceAllStringFunc(text, func(mark string) string {
		count, _ := strconv.Atoi(strings.Trim(mark, "@"))
		return strings.Repeat("x", count)
	})
}

func short(text string) string {
	return many.ReplaceAllStringFunc(text, func(run string) string { return fmt.Sprintf("@%d@", len(run)) })
}

// What tryDecodeSinglePod of the kubelet does up to the checks; the defaults that depend on the node do not matter.
func answers(patch string) []string {
	manifest, err := jsonpatch.MergePatch([]byte(small), []byte(written(patch)))
	if err != nil {
		return []string{err.Error()}
	}
	object, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(), manifest)
	if err != nil {
		return []string{err.Error()}
	}
	pod := object.(*api.Pod)
	pod.Namespace = "default"
	pod.Spec.NodeName = "node-1"
	options := podutil.GetValidationOptionsFromPodSpecAndMeta(&pod.Spec, nil, &pod.ObjectMeta, nil)
	var all []string
	for _, problem := range validation.ValidatePodCreate(pod, options) {
		all = append(all, short(problem.Error()))
	}
	sort.Strings(all)
	return all
}

func main() {
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, " ") {
			continue
		}
		fmt.Println(line)
		if strings.HasPrefix(line, "{") {
			for _, answer := range answers(line) {
				fmt.Println("  " + answer)
			}
		}
	}
}
