import runpy

runpy.run_module("devtools.replay", run_name="__main__", alter_sys=True)
