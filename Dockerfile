# The HTTP service without torch. The package is mounted; it is not part of the image:
#   docker build -t acl-lightning-serve .
#   docker run --rm -p 127.0.0.1:8000:8000 -v DIR:/package:ro acl-lightning-serve --operating-point drop1
FROM python:3.11-slim
COPY . /source
RUN /source/docker/install.sh && rm -rf /source && useradd --no-create-home service
USER service
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["python", "-m", "acl_lightning", "serve", "/package", "--host=0.0.0.0"]
