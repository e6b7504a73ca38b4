"""`python -m serving` is the `ringfence` command."""

from serving.cli import main

main()
