package setup

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// OnnxRuntimeVersion is the version fetched from wheels; the Java and Node packages lag and give their own (all serve API version 24).
const OnnxRuntimeVersion = "1.32.0"

const (
	mavenVersion = "1.29.0"
	npmVersion   = "1.30.0"
)

// platform is what the package clients call one operating system and architecture, and the sums of the library in each package.
type platform struct {
	wheelTag            string // the wheel's platform tag
	mavenDir, npmDir    string
	file                string
	wheel, maven, npmed string // SHA-256 of the library in the wheel, the jar and the npm package
}

// platforms are those for which all three packages carry a library, by GOOS/GOARCH. Intel Macs have had no wheel since 1.24.
func platforms() map[string]platform {
	return map[string]platform{
		"linux/amd64": {
			wheelTag: "manylinux_2_28_x86_64", mavenDir: "linux-x64", npmDir: "linux/x64", file: "libonnxruntime.so",
			wheel: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
			maven: "5715f06d8992ca8eeeddcce43df3a7d38f97d537052126f558e912cb312460ca",
			npmed: "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23",
		},
		"linux/arm64": {
			wheelTag: "manylinux_2_28_aarch64", mavenDir: "linux-aarch64", npmDir: "linux/arm64", file: "libonnxruntime.so",
			wheel: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
			maven: "a27d21126db312aa8f02f3d5eaebe466e991f51f469882e6d0407d5a8b64afda",
			npmed: "1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76",
		},
		"darwin/arm64": {
			wheelTag: "macosx_14_0_arm64", mavenDir: "osx-aarch64", npmDir: "darwin/arm64", file: "libonnxruntime.dylib",
			wheel: "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7",
			maven: "07c5a23fecedb27d9325b1b2ba0c87830173f87b64edf2b294e32931af5c09cb",
			npmed: "685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d",
		},
	}
}

func (o *Options) platform() (platform, error) {
	p, ok := platforms()[o.OS+"/"+o.Arch]
	if !ok {
		return platform{}, fmt.Errorf("no ONNX Runtime package is known for %s/%s: point ORT_LIB at a library of version 1.24 or newer", o.OS, o.Arch)
	}
	return p, nil
}

// FindOnnxRuntime returns the path of the library that a server should load: Lib, else what OnnxRuntime left in the cache.
// The error says what to run when there is none.
func FindOnnxRuntime(o Options) (string, error) {
	if o.Lib != "" {
		if _, err := os.Stat(o.Lib); err != nil {
			return "", fmt.Errorf("ORT_LIB: %w", err)
		}
		return o.Lib, nil
	}
	p, err := o.platform()
	if err != nil {
		return "", err
	}
	cached := o.libraryPath(p)
	if _, err := os.Stat(cached); err != nil {
		return "", fmt.Errorf("ONNX Runtime not found at %s: run `sluice setup` (or `make setup`), or set ORT_LIB", cached)
	}
	return cached, nil
}

func (o *Options) libraryPath(p platform) string {
	return filepath.Join(o.CacheDir, "onnxruntime", p.file)
}

// OnnxRuntime makes sure that a library is there and returns its path. It honours Lib, then Tarball (a release .tgz, whose
// lib/libonnxruntime.* is taken unchecked: it is the user's own), then the cache, then fetches with the first package client that works:
// pip, Maven, npm. A fetched library's SHA-256 must be the pinned one.
func OnnxRuntime(ctx context.Context, o Options) (string, error) {
	if o.Lib != "" {
		return FindOnnxRuntime(o)
	}
	p, err := o.platform()
	if err != nil {
		return "", err
	}
	target := o.libraryPath(p)
	if o.Tarball != "" {
		o.say("taking the ONNX Runtime library out of %s", o.Tarball)
		if err := extractTarMember(o.Tarball, target, "", isLibrary(p)); err != nil {
			return "", fmt.Errorf("ORT_TARBALL %s: %w", o.Tarball, err)
		}
		return target, nil
	}
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	err = o.firstThatWorks(ctx, "ONNX Runtime "+OnnxRuntimeVersion, o.runtimeClients(p), func(archive, client string) error {
		switch {
		case strings.HasSuffix(archive, ".tgz"):
			return extractTarMember(archive, target, p.npmed, func(name string) bool {
				return path.Dir(name) == "package/bin/napi-v6/"+p.npmDir && isLibrary(p)(name)
			})
		case strings.HasSuffix(archive, ".jar"):
			return extractZipMember(archive, target, p.maven, func(name string) bool {
				return name == "ai/onnxruntime/native/"+p.mavenDir+"/"+p.file
			})
		default:
			return extractZipMember(archive, target, p.wheel, func(name string) bool {
				return path.Dir(name) == "onnxruntime/capi" && isLibrary(p)(name)
			})
		}
	})
	return target, err
}

// isLibrary matches libonnxruntime.so, libonnxruntime.so.1.32.0, libonnxruntime.1.32.0.dylib and the like, never the provider libraries.
func isLibrary(p platform) func(string) bool {
	return func(name string) bool {
		base := path.Base(name)
		if !strings.HasPrefix(base, "libonnxruntime.") {
			return false
		}
		if strings.HasSuffix(p.file, ".dylib") {
			return strings.HasSuffix(base, ".dylib")
		}
		return strings.HasPrefix(base, "libonnxruntime.so")
	}
}

func (o *Options) runtimeClients(p platform) []client {
	clients := pipClients("onnxruntime=="+OnnxRuntimeVersion, p.wheelTag)
	maven := client{name: "mvn", fetch: func(ctx context.Context, o *Options, dir string) (string, error) {
		artifact := "com.microsoft.onnxruntime:onnxruntime:" + mavenVersion
		if err := o.run(ctx, dir, "mvn", "-q", "dependency:get", "-Dartifact="+artifact, "-Dtransitive=false"); err != nil {
			return "", err
		}
		if err := o.run(ctx, dir, "mvn", "-q", "dependency:copy", "-Dartifact="+artifact, "-DoutputDirectory="+dir); err != nil {
			return "", err
		}
		return onlyMatch(dir, "*.jar")
	}}
	npm := client{name: "npm", fetch: func(ctx context.Context, o *Options, dir string) (string, error) {
		if err := o.run(ctx, dir, "npm", "pack", "--silent", "onnxruntime-node@"+npmVersion); err != nil {
			return "", err
		}
		return onlyMatch(dir, "*.tgz")
	}}
	return append(clients, maven, npm)
}
