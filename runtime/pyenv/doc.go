// Package pyenv makes the Python environments that model packages ask for: once, shared, and thrown away when nobody needs them.
//
// It owns reading python_env.yaml, conda.yaml and requirements.txt (Read), the choice of an interpreter, the address of an environment's
// content, building it with uv or conda, and what is kept on the disk. It is called by cmd, which hands environments to the Python workers
// and to conversion; it must not know which model version an environment is for, what runs in it, or any HTTP. A Pool is safe for
// concurrent use, also by several processes on one folder.
//
// # On disk
//
//	<dir>/envs/<key>/             an environment; complete when it has a manifest.json
//	<dir>/locks/<key>             locked shared while the environment is in use, exclusively while it is built or removed
//	<dir>/logs/<key>.log          what the last build said, bounded
//	<dir>/work/<random>/          builds under way and environments being removed; each is locked by its process
//	<dir>/cache/, <dir>/conda/    packages of uv and conda, unless the operator named a cache of his own
//
// The key is a hash over everything that an environment is made of: the interpreter, the requirements in normal form, the contents of
// local files among them, and where packages come from. Two models with equal requirements share one environment. uv's environments are
// built in work and renamed into envs; conda's cannot be moved, so theirs are built in their place. An environment never changes.
//
// # What a build may see
//
// Building runs code of strangers (setup.py). It gets a private folder as HOME and TMPDIR, and from the server's own variables those alone that
// say where packages come from (indexSettings); its output is bounded, and all of its processes end at the timeout.
package pyenv
