module github.com/wavepool/wavepool/testdata/bench-pool

go 1.26.0

require (
	github.com/benbjohnson/clock v1.3.5
	github.com/gomodule/redigo v1.9.3
	github.com/jackc/puddle/v2 v2.2.3
	github.com/jolestar/go-commons-pool/v2 v2.1.2
	github.com/stretchr/testify v1.12.1
	github.com/wavepool/wavepool v0.0.0
	go.uber.org/goleak v1.3.0
)

require (
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sync v0.1.0 // indirect
)

replace github.com/wavepool/wavepool => ../..
