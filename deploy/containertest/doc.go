// Package containertest is the test of what is shipped as containers: it builds the images, looks into them, runs them alone and
// as the stack of deploy/compose, and scales, kills, backs up and restores that stack under load. It does so the way an operator
// does, by the docker command line and over HTTP, and imports nothing of the product. make test/containers runs it; it takes
// minutes and a Docker engine, so its files carry the build tag container.
package containertest
