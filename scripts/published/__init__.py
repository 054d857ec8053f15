"""Published experiments beside our runs of them: the list of rows, the archive of runs, the page docs/results/index.md."""
