package main

import (
	"errors"
	"log/slog"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// reload reads the configuration again, flags applied, and puts it in force. The log gets each change, or each mistake
// with its line; with mistakes everything stays as it is.
func reload(o *options, s *proxy.Server, log *slog.Logger) {
	if o.config == "" {
		log.Warn("nothing to reload: there is no -config file")
		return
	}
	settings, err := o.settings()
	var changes []string
	if err == nil {
		changes, err = s.Reload(settings)
	}
	if err != nil {
		var all config.Errors
		if !errors.As(err, &all) {
			log.Error("not reloaded; the configuration stays as it was", "file", o.config, "error", err)
			return
		}
		for _, e := range all {
			log.Error("mistake", "error", e)
		}
		log.Error("not reloaded; the configuration stays as it was", "file", o.config, "mistakes", len(all))
		return
	}
	warnOfUnused(settings, log)
	for _, line := range changes {
		log.Info("changed", "what", line)
	}
	log.Info("reloaded", "file", o.config, "changes", len(changes))
}

// reopen opens the access log anew, for logrotate.
func reopen(s *proxy.Server, log *slog.Logger) {
	switch err := s.ReopenLog(); {
	case err != nil:
		log.Error("the access log goes on in the old file", "error", err)
	case s.Settings().AccessLog != nil:
		log.Info("access log opened anew", "path", s.Settings().AccessLog.Path)
	}
}
