package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// nginxPath finds nginx, which Debian puts where only root's path leads.
func nginxPath() (string, error) {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/nginx"
	if _, err := os.Stat(debian); err != nil {
		return "", fmt.Errorf("no nginx on the path or at %s; run tools/setup/nginx.sh", debian)
	}
	return debian, nil
}

// nginxConfig is a proxy from addr to one worker that is tuned to move bodies of
// any length here without a file: nothing but copies is left to optimise in it.
func nginxConfig(dir, addr, worker string, processes int) string {
	return fmt.Sprintf(`daemon off;
worker_processes %d;
pid %[2]s/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 32m;
  client_body_temp_path %[2]s/body;
  proxy_temp_path %[2]s/proxy;
  fastcgi_temp_path %[2]s/f;
  uwsgi_temp_path %[2]s/u;
  scgi_temp_path %[2]s/s;
  proxy_buffer_size 64k;
  proxy_buffers 64 512k;
  proxy_busy_buffers_size 1m;
  proxy_max_temp_file_size 0;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  upstream worker {
    server %[4]s;
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen %[3]s;
    location / { proxy_pass http://worker; }
  }
}
`, processes, dir, addr, worker)
}

// writeNginx lays out a directory that nginx runs in and returns its arguments.
func writeNginx(dir, addr, worker string, processes int) ([]string, error) {
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConfig(dir, addr, worker, processes)), 0o600); err != nil {
		return nil, err
	}
	return []string{"-p", dir, "-c", conf, "-e", "stderr"}, nil
}
