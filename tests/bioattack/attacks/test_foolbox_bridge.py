from bioattack.attacks import foolbox_bridge


def test_only_the_bridge_imports_foolbox():
    from pathlib import Path

    root = Path(foolbox_bridge.__file__).parents[2]
    importing = [
        path.name
        for folder in ("bioattack", "models", "evaluation", "tfrecords_builder")
        for path in (root / folder).rglob("*.py")
        if any(
            line.strip().startswith(("import foolbox", "from foolbox"))
            for line in path.read_text().splitlines()
        )
    ]
    assert importing == ["foolbox_bridge.py"]
