// Package helm tests the chart without a cluster: what its templates render is decoded strictly into the API's own types.
package helm

import (
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
)

func TestChartIsValid(t *testing.T) {
	chart, err := loader.Load("meet-middleware")
	if err != nil {
		t.Fatal(err)
	}
	if err := chart.Validate(); err != nil {
		t.Fatal(err)
	}
}
