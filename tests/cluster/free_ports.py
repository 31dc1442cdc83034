#!/usr/bin/env python3
"""Print so many free TCP ports, one a line."""

import socket
import sys

held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
for port in held:
    print(port.getsockname()[1])
