// Writes quantity.tsv and quantity_pairs.tsv with apimachinery's own answers. Run it in an empty folder:
//
//	go mod init golden && go get k8s.io/apimachinery@v0.37.2 && go run .
package main

import (
	"fmt"
	"k8s.io/apimachinery/pkg/api/resource"
	"os"
)

func main() {
	in := []string{"0", "00", "", "+", "-", ".", "+.", "Ki", "m", "1", "-1", "+1", "1.5", "1.500", "005", "0.5", ".5", "5.", "-0.5", "1.25", "100m", "1500m", "1000m", "0.1", "0.0001", "0.0000000001", "-0.0000000001",
		"1.0000000001", "123456789.123456789", "123456789.1234567891", "999n", "1000n", "1n", "0.5n", "1u", "1000u", "1k", "1000k", "1024", "1024k", "1M", "1G", "1T", "1P", "1E", "12E", "999E", "0.001E", "1.5E",
		"1Ki", "2Ki", "1023", "1024Ki", "1025Ki", "2048Ki", "64Mi", "1Gi", "1.5Gi", "0.5Gi", "0.1Gi", "0.25Ki", "0.0001Ki", "0.001Mi", "1.1Ki", "1Ti", "1Pi", "1Ei", "7Ei", "8Ei", "9Ei", "100Ei", "-1Gi", "-100Ei", "-0.5Ki", "1000Ki", "24684092Ki", "25276510208", "270553174016",
		"1e3", "1E3", "1e0", "1e1", "1e2", "1e4", "12e6", "1.5e3", "1e-3", "1e-9", "1e-10", "1e-5", "1e18", "1e03", "1e+3", "1E+3", "-1e3", "123e1", "0e3", "0E", "0.0", "0Ki", "-0", "1.e3", "1_000", "1 ", " 1", "1x", "1Kii", "1iK", "1mm", "1ki", "1K", "1MI", "1e", "1ee3", "1e3.5", "1..5", "1.2.3", "--1", "+-1", "1e--3", "1e3m", "1m3", "1Mi3", "1k-", "é", "1é", "1+", "1-", "1-3", "1+3", "0x10", "1e3e3", "Inf", "NaN", "1Gi ", "1,5",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "9223372036854775807Ki", "922337203685477580.7", "18446744073709551615", "4611686018427387904", "1152921504606846976", "999999999999999999", "1000000000000000000", "123456789012345678", "100000000000000000000", "3.14159265358979", "2.718281828459045235", "0.333333333333", "1000000", "1000001", "10", "100", "10k", "100k", "10m", "1234m", "12345m", "1010m", "0.010", "0.01", "0.001",
		"1023Ki", "1048576", "1048577Ki", "3072Mi", "4Gi", "4096Mi", "1.5Ki", "1.50Mi", "2.5Gi", "0.75Gi", "0.3Mi", "1e6", "1000e3", "5e-1", "15e-1", "250e-3", "1.005", "10.10", "100Mi", "5%", "10Gi", "1536Mi", "512Ki", "511", "1023.5Ki", "0.9Ki", "1.0Ki"}
	f, _ := os.Create("quantity.tsv")
	for _, s := range in {
		q, err := resource.ParseQuantity(s)
		switch {
		case err == resource.ErrFormatWrong:
			fmt.Fprintf(f, "%s\t!form\n", s)
			continue
		case err == resource.ErrSuffix:
			fmt.Fprintf(f, "%s\t!suffix\n", s)
			continue
		case err != nil:
			fmt.Fprintf(os.Stderr, "%q: %v\n", s, err)
			continue
		}
		format := q.Format
		c := q.DeepCopy()
		if !c.IsZero() {
			c.Add(resource.Quantity{})
		} // drops the cached text
		big := q.DeepCopy()
		big.ToDec()
		v, m := q.Value(), q.MilliValue()
		if q.Sign() < 0 {
			n := q.DeepCopy()
			n.Neg()
			v, m = -n.Value(), -n.MilliValue()
		}
		// Overflow is undefined in the original: leave such values out.
		if x := q.AsApproximateFloat64(); x > 9.2e18 || x < -9.2e18 {
			v = 0
			if x > 0 {
				v = 9223372036854775807
			} else if c.String() == "-9223372036854775807" {
				v = -9223372036854775807
			} else {
				v = -9223372036854775808
			}
		}
		if x := q.AsApproximateFloat64(); x > 9.2e15 || x < -9.2e15 {
			if x > 0 {
				m = 9223372036854775807
			} else {
				m = -9223372036854775808
			}
		}
		fmt.Fprintf(f, "%s\t%s\t%d\t%d\t%s\n", s, c.String(), v, m, format)
	}
	f.Close()
	g, _ := os.Create("quantity_pairs.tsv")
	vals := []string{"0", "0Ki", "0e1", "1", "-1", "100m", "1.5", "1Ki", "1Gi", "1500Mi", "1e3", "0.1Gi", "24684092Ki", "100Mi", "1n", "999E", "1Ei", "-2k", "270553174016", "27055317401600m", "12345678901234567890"}
	for _, a := range vals {
		for _, b := range vals {
			x, y := resource.MustParse(a), resource.MustParse(b)
			s, d := x.DeepCopy(), x.DeepCopy()
			s.Add(y)
			d.Sub(y)
			fmt.Fprintf(g, "%s\t%s\t%s\t%s\t%d\n", a, b, s.String(), d.String(), x.Cmp(y))
		}
	}
	g.Close()
}
