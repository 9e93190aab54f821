def page(asking, manifest, result, show):
    return "<html></html>\n"
