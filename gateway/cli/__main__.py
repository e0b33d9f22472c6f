"""`python -m gateway.cli`: the same as `pa-gateway`."""

from gateway.cli import main

main()
