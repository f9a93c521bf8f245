package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// outsideSettings are the SLUICE_* variables that are not a flag of some command; applySettings passes over them.
var outsideSettings = map[string]bool{"SLUICE_CONFIG": true}

// applySettings fills the flags that the command line left unset: from the environment (SLUICE_ + the flag's name in capitals, dashes as
// underscores), else from the YAML file (the flag's name as key, dashes or underscores). A key or a SLUICE_ variable that is no setting is an
// error, as is a value that the flag cannot take. known names every setting.
func applySettings(flags *pflag.FlagSet, environ []string, file string, known map[string]bool) error {
	fromEnv, err := environSettings(environ, known)
	if err != nil {
		return err
	}
	fromFile, err := fileSettings(file, known)
	if err != nil {
		return err
	}
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if failed != nil || f.Changed {
			return
		}
		value, origin, ok := fromEnv[f.Name], "environment "+variableName(f.Name), true
		if _, set := fromEnv[f.Name]; !set {
			value, ok = fromFile[f.Name]
			origin = file + ": " + f.Name
		}
		if !ok {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = fmt.Errorf("%s: %w", origin, err)
		}
	})
	return failed
}

func variableName(flag string) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func environSettings(environ []string, known map[string]bool) (map[string]string, error) {
	byVariable := map[string]string{}
	for name := range known {
		byVariable[variableName(name)] = name
	}
	set := map[string]string{}
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, "SLUICE_") || outsideSettings[variable] {
			continue
		}
		name, ok := byVariable[variable]
		if !ok {
			return nil, fmt.Errorf("environment %s is not a setting", variable)
		}
		set[name] = value
	}
	return set, nil
}

// maxConfigBytes bounds the configuration file.
const maxConfigBytes = 1 << 20

func fileSettings(file string, known map[string]bool) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfigBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxConfigBytes)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	set := map[string]string{}
	for key, value := range raw {
		name := strings.ReplaceAll(key, "_", "-")
		if !known[name] {
			return nil, fmt.Errorf("%s: %s is not a setting", file, key)
		}
		if set[name], err = scalarText(value); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, key, err)
		}
	}
	return set, nil
}

// scalarText writes a YAML value as a flag takes it; a list of scalars becomes comma-separated.
func scalarText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case []any:
		parts := make([]string, 0, len(v))
		for _, item := range v {
			text, err := scalarText(item)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ","), nil
	case map[string]any:
		return "", fmt.Errorf("is a mapping, expected a single value or a list")
	}
	return fmt.Sprint(value), nil
}

// bindSome declares every setting on cmd and hides those that are not in shown: a setting in the environment or the file is then checked the
// same way by every command, while the help lists what matters to this one.
func bindSome(cmd *cobra.Command, c *Config, shown ...string) {
	c.bind(cmd.Flags())
	visible := map[string]bool{"config": true}
	for _, name := range shown {
		visible[name] = true
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = !visible[f.Name] })
}

// loadSettings merges command line, environment and file into c, whose flags bind or bindSome declared on cmd.
func loadSettings(cmd *cobra.Command, c *Config, environ []string) error {
	var settings Config
	declared := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	settings.bind(declared)
	known := map[string]bool{}
	declared.VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
	if c.ConfigFile == "" {
		c.ConfigFile = lookup(environ, "SLUICE_CONFIG")
	}
	if err := applySettings(cmd.Flags(), environ, c.ConfigFile, known); err != nil {
		return err
	}
	c.grpcPortSet = cmd.Flags().Changed("grpc-port")
	return c.resolve(environ)
}

// lookup returns the value of a variable in an os.Environ list, "" if it is absent.
func lookup(environ []string, variable string) string {
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && name == variable {
			return value
		}
	}
	return ""
}
